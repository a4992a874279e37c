//! The Secret as what the API server is given, and what is read from it.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use portcullis_certs::managed::{KEYS, Parts, State, Wish};

/// Other tools know by it that `tls.crt` and `tls.key` are a pair.
const TYPE: &str = "kubernetes.io/tls";

/// What an operator writes to have something renewed before it is due: `leaf` or `authority`. Gone when it is done.
pub(super) const ROTATE: &str = "portcullis.kubenova.io/rotate";

/// A Secret that holds this state.
pub(super) fn new(namespace: &str, name: &str, state: &State) -> Secret {
    let labels = [("app.kubernetes.io/name", "portcullis"), ("app.kubernetes.io/managed-by", "portcullis")];
    let metadata = ObjectMeta {
        name: Some(name.to_owned()),
        namespace: Some(namespace.to_owned()),
        labels: Some(labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into()),
        ..ObjectMeta::default()
    };
    filled(Secret { metadata, type_: Some(TYPE.to_owned()), ..Secret::default() }, state)
}

/// The same Secret with this state in it; what is not ours stays.
pub(super) fn filled(mut secret: Secret, state: &State) -> Secret {
    let data = secret.data.get_or_insert_with(BTreeMap::new);
    data.retain(|key, _| !KEYS.contains(&key.as_str()));
    data.extend(state.parts().into_iter().map(|(key, value)| (key, ByteString(value))));
    secret
}

/// The same without a wish, which is fulfilled.
pub(super) fn fulfilled(mut secret: Secret) -> Secret {
    if let Some(annotations) = &mut secret.metadata.annotations {
        annotations.remove(ROTATE);
    }
    secret
}

/// What is kept in it.
pub(super) fn parts(secret: &Secret) -> Parts {
    let data = secret.data.iter().flatten();
    data.map(|(key, value)| (key.clone(), value.0.clone())).collect()
}

/// What somebody wishes; another word than the two is no wish, and an error.
pub(super) fn wish(secret: &Secret) -> Result<Option<Wish>, String> {
    let annotations = secret.metadata.annotations.as_ref();
    match annotations.and_then(|annotations| annotations.get(ROTATE)).map(String::as_str) {
        None => Ok(None),
        Some("leaf") => Ok(Some(Wish::Leaf)),
        Some("authority") => Ok(Some(Wish::Authority)),
        Some(_) => Err(format!("its annotation `{ROTATE}` is neither `leaf` nor `authority`")),
    }
}

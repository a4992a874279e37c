//! The six kinds of app source.

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SourceKind {
    /// A chart of a Helm repository over HTTPS.
    HelmHttp,
    /// A chart in an OCI registry.
    HelmOci,
    /// A directory of a Git repository.
    GitRepo,
    ContainerImage,
    /// A Kubernetes object.
    KubeManifest,
    /// A definition of KubeVela with its parameters.
    VelaTemplate,
}

impl SourceKind {
    /// All kinds, in order.
    pub const ALL: [Self; 6] = [
        Self::HelmHttp,
        Self::HelmOci,
        Self::GitRepo,
        Self::ContainerImage,
        Self::KubeManifest,
        Self::VelaTemplate,
    ];

    /// The member of a source, and the word in the ledger: `helmHttp`, `containerImage`, ….
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HelmHttp => "helmHttp",
            Self::HelmOci => "helmOci",
            Self::GitRepo => "gitRepo",
            Self::ContainerImage => "containerImage",
            Self::KubeManifest => "kubeManifest",
            Self::VelaTemplate => "velaTemplate",
        }
    }

    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        for kind in SourceKind::ALL {
            assert_eq!(SourceKind::parse(kind.as_str()), Some(kind));
        }
        assert_eq!(SourceKind::parse("HelmHttp"), None);
        assert_eq!(SourceKind::parse("image"), None);
    }
}

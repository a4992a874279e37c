//! Lists: pages, labels, owners.

use serde_json::json;

use crate::api::harness::On;
use crate::api::house::{CLUSTER, House};

#[test]
fn by_labels_and_owners_in_pages() {
    for on in [On::Sqlite, On::Postgres] {
        let house = House::on(on);
        let path = format!("{CLUSTER}/tenants");
        for n in 0..7 {
            let tier = if n % 2 == 0 { "gold" } else { "plain" };
            let owner = if n < 3 { "ada" } else { "i#bob" };
            let new = json!({ "name": format!("t{n}"), "labels": { "tier": tier }, "owners": [owner] });
            house.admin.post(&path, &new).ok(201);
        }
        let names = |query: &str| {
            let page = house.admin.get(&format!("{path}?{query}")).ok(200);
            let items = page["items"].as_array().unwrap().clone();
            let names: Vec<String> =
                items.iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect();
            (names.join(" "), page["nextCursor"].as_str().map(str::to_owned))
        };
        assert_eq!(names("").0, "t0 t1 t2 t3 t4 t5 t6");
        assert_eq!(names("labelSelector=tier%3Dgold").0, "t0 t2 t4 t6");
        assert_eq!(names("labelSelector=tier%20notin%20(gold)").0, "t1 t3 t5");
        assert_eq!(names("owner=ada").0, "t0 t1 t2");
        assert_eq!(names("owner=ledger%23ada").0, "t0 t1 t2");
        assert_eq!(names("owner=i%23bob&labelSelector=tier%3Dgold").0, "t4 t6");
        assert_eq!(names("owner=%27OR%27%27%3D%27").0, "", "a question that nobody answers");
        let (first, cursor) = names("limit=3&labelSelector=tier");
        let (second, cursor) = names(&format!("limit=3&labelSelector=tier&cursor={}", cursor.unwrap()));
        let (third, end) = names(&format!("limit=3&labelSelector=tier&cursor={}", cursor.unwrap()));
        assert_eq!(
            (first.as_str(), second.as_str(), third.as_str(), end),
            ("t0 t1 t2", "t3 t4 t5", "t6", None)
        );
        for (query, at) in [
            ("labelSelector=a%3Db%3Dc", "?labelSelector"),
            ("limit=0", "?limit"),
            ("limit=201", "?limit"),
            ("cursor=%3F", "?cursor"),
            ("owner=", "?owner"),
            ("nonsense=1", "?nonsense"),
        ] {
            house.admin.get(&format!("{path}?{query}")).refused("VALIDATION_ERROR", &[at]);
        }
    }
}

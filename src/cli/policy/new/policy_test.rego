# Run by `portcullis policy test`, and by `opa test` too. Each rule `test_…` must be true.
package portcullis.NAME_test

import data.portcullis.NAME

test_latest_is_denied if {
	some finding in NAME.deny with input as {"images": [image("latest")]}
	finding.field == "spec.containers[0].image"
}

test_a_version_passes if {
	count(NAME.deny) == 0 with input as {"images": [image("1.4.2")]}
}

test_each_image_is_found if {
	count(NAME.deny) == 2 with input as {"images": [image("latest"), object.union(image("latest"), {"path": "spec.containers[1].image"})]}
}

image(tag) := {
	"path": "spec.containers[0].image",
	"raw": sprintf("registry.example.com/tenants/acme/web:%s", [tag]),
	"tag": tag,
}

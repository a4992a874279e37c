# METADATA
# title: Administrators are warned about the policies that they bypass
# description: >-
#   The read-only and identity-label policies do not apply to administrators; the image and Vela-in-sandbox policies do.
#   Each request gets a warning, so that the user notices.
# custom:
#   id: administrator-notice
#   severity: low
#   mode: enforce
#   on_error: deny
#   match:
#     - operations: [CREATE, UPDATE, DELETE, CONNECT]
#       resources: ["*/*"]
#       namespaces: [app, sandbox, unregistered]
package portcullis.administrator_notice

# Short, because a warning has at most 120 characters.
warn contains "you act as administrator: read-only and label policies do not apply here, image and Vela policies do" if {
	input.tenancy.requester.class == "admin"
}

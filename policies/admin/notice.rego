# METADATA
# title: Administrators are told what was lifted for them
# description: >-
#   An administrator passes the read-only and identity-label laws, never the image and Vela-in-sandbox laws. Each use
#   carries a warning, so that nobody acts as one without noticing.
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

# Short: a warning has 120 characters.
warn contains "you act as administrator: read-only and label laws are lifted here, image and Vela laws hold" if {
	input.tenancy.requester.class == "admin"
}

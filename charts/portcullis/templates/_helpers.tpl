{{- define "portcullis.name" -}}{{ .Values.nameOverride }}{{- end -}}

{{- define "portcullis.selector" -}}
app.kubernetes.io/name: {{ include "portcullis.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "portcullis.labels" -}}
{{ include "portcullis.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "portcullis.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- /* A key of a ConfigMap holds no slash; the volume puts it back. */ -}}
{{- define "portcullis.key" -}}{{ . | replace "/" "__" }}{{- end -}}

{{- define "portcullis.tenancyConfigMap" -}}
{{ .Values.tenancy.existingConfigMap | default (printf "%s-tenancy" (include "portcullis.name" .)) }}
{{- end -}}

{{- /* Pods of the API are not the gate's: no call of a webhook may reach them. */ -}}
{{- define "portcullis.apiSelector" -}}
app.kubernetes.io/name: {{ include "portcullis.name" . }}-api
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "portcullis.source" -}}
{{- if eq .Values.tenancy.source "file" -}}
- --tenancy=/etc/portcullis/tenancy/{{ .Values.tenancy.key }}
{{- else -}}
- --snapshot-cache=/var/lib/portcullis/snapshot
{{- with .Values.ledger.cluster }}
- --cluster={{ . }}
{{- end }}
{{- if eq .Values.tenancy.source "ledger" }}
- --ledger={{ include "portcullis.ledgerUrl" . }}
- --ledger-token=/etc/portcullis/ledger/token
- --ledger-ca=/etc/portcullis/ledger/ca.crt
{{- end }}
{{- end -}}
{{- end -}}

{{- define "portcullis.ledgerUrl" -}}
{{- if .Values.ledger.url -}}
{{ .Values.ledger.url }}
{{- else if .Values.api.enabled -}}
https://{{ include "portcullis.name" . }}-api.{{ .Release.Namespace }}.svc
{{- else -}}
{{- fail "tenancy.source is ledger: set ledger.url, or api.enabled to run the API in this release" -}}
{{- end -}}
{{- end -}}

{{- /* cert-manager writes the authority beside the leaf. */ -}}
{{- define "portcullis.ledgerCa" -}}
{{ .Values.ledger.caSecret | default .Values.api.tlsSecret }}
{{- end -}}

{{- define "portcullis.databaseEnv" -}}
- name: PORTCULLIS_DATABASE
  valueFrom: {secretKeyRef: {name: {{ .Values.ledger.databaseSecret }}, key: url}}
{{- end -}}

{{- define "portcullis.policyVolume" -}}
{{- if eq .Values.policies.source "files" }}
- name: policies
  configMap:
    name: {{ include "portcullis.name" . }}-policies
    items:
      {{- range $path, $_ := .Values.policies.files }}
      - {key: {{ include "portcullis.key" $path }}, path: {{ $path }}}
      {{- end }}
{{- else if eq .Values.policies.source "configMaps" }}
- name: policies
  projected:
    sources:
      {{- range .Values.policies.configMaps }}
      - configMap: {{- toYaml . | nindent 10 }}
      {{- end }}
{{- end }}
{{- end -}}

{{- /* Whether the gate looks if the registration trusts what it serves. */ -}}
{{- define "portcullis.verifiesCaBundle" -}}
{{ or (eq .Values.tls.mode "selfManaged") .Values.tls.verifyCaBundle }}
{{- end -}}

{{- /* Whether the gate asks anything of the API server. */ -}}
{{- define "portcullis.callsApiServer" -}}
{{- $own := or (eq (include "portcullis.verifiesCaBundle" .) "true") (ne .Values.scan.every "") -}}
{{- with .Values.cluster -}}
{{ ternary "true" "false" (or $own .watchNamespaces .manageCaBundle (not (empty .policyConfigMaps))) }}
{{- end -}}
{{- end -}}

{{- /* Behind the Service `kubernetes`, as a network policy sees it: its endpoints. */ -}}
{{- define "portcullis.egressToApiServer" -}}
- ports: [{port: 443, protocol: TCP}, {port: 6443, protocol: TCP}]
  {{- with .Values.networkPolicy.controlPlaneCIDRs }}
  to:
    {{- range . }}
    - ipBlock: {cidr: {{ . | quote }}}
    {{- end }}
  {{- end }}
{{- end -}}

{{- define "portcullis.terminationSeconds" -}}
{{- with .Values.drain -}}
{{ add (int .preStopSeconds) (int .delaySeconds) (int .graceSeconds) 5 }}
{{- end -}}
{{- end -}}

{{- /* The files of deploy/, as `portcullis manifests` prints them, with this release's settings in them. */ -}}
{{- define "portcullis.webhook" -}}
{{- $w := .Values.webhook -}}
{{- .Files.Get "files/webhook.yaml"
  | replace "system:serviceaccount:vela-system:kubevela-vela-core" $w.velaUser
  | replace "system:serviceaccount:tn-" (printf "system:serviceaccount:%s-" $w.tenantPrefix)
  | replace "\"tn-\"" (printf "%q" (printf "%s-" $w.tenantPrefix))
  | replace "\\\"tn-\\\"" (printf "\\\"%s-\\\"" $w.tenantPrefix)
  | replace "\"-devs\"" (printf "%q" $w.tenantSuffix)
  | replace ".portcullis.kubenova.io" (printf ".%s" $w.domain) -}}
{{- end -}}

{{- /* An open port lets every Pod play an API server: ask what the policies say, and spend the gate's time. */ -}}
{{- define "portcullis.requireCallerRestriction" -}}
{{- $addresses := and .Values.networkPolicy.enabled .Values.networkPolicy.controlPlaneCIDRs -}}
{{- $certificates := and .Values.clientAuth.enabled (eq .Values.clientAuth.mode "required") -}}
{{- if not (or $addresses $certificates .Values.webhook.allowAnyCaller) -}}
{{- fail "every Pod can call the webhook port: set networkPolicy.controlPlaneCIDRs to the addresses of the API servers, or clientAuth.enabled with clientAuth.mode required, or accept it with webhook.allowAnyCaller=true (docs/operations.md, Who may call)" -}}
{{- end -}}
{{- end -}}

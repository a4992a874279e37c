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
  | replace "\"-devs\"" (printf "%q" $w.tenantSuffix)
  | replace ".portcullis.kubenova.io" (printf ".%s" $w.domain) -}}
{{- end -}}

{{- define "service-director.labels" -}}
app.kubernetes.io/name: service-director
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "service-director.serviceAccount" -}}
{{ default .Release.Name .Values.serviceAccount.name }}
{{- end }}

{{- define "service-director.image" -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end }}

{{- define "service-director.settings" -}}
PORT: {{ .Values.port | quote }}
PROJECT_ID: {{ .Values.config.project | quote }}
REGION: {{ .Values.config.region | quote }}
DIRECTOR_NAME: {{ .Values.config.name | quote }}
DIRECTOR_ACCOUNT: {{ .Values.config.account | quote }}
# In a pod it is reached from outside of it, and so listens at more than loopback.
DIRECTOR_HOST: "0.0.0.0"
DIRECTOR_STATE: {{ .Values.config.state | quote }}
DIRECTOR_STATE_KEY: {{ .Values.config.stateKey | quote }}
DIRECTOR_ACCESS: verified
DIRECTOR_AUDIENCE: {{ .Values.config.audience | quote }}
DIRECTOR_ALLOWED: {{ .Values.config.allowed | quote }}
IAC_GENERATOR_URL: {{ .Values.config.generator.url | quote }}
TERRAFORM_WORK_DIR: /scratch/terraform
LOG_LEVEL: {{ .Values.config.logLevel | quote }}
{{- if .Values.serviceMonitor.enabled }}
DIRECTOR_METRICS_PORT: {{ .Values.serviceMonitor.port | quote }}
{{- end }}
{{- with .Values.settings }}
{{- toYaml . | nindent 0 }}
{{- end }}
{{- end }}

#!/bin/sh
# Writes the alerts of deploy/prometheus/alerts.yaml as a PrometheusRule, the form that Prometheus' operator reads. Run it
# after each change there; a test compares both.
set -eu
cd "$(dirname "$0")/.."
{
    cat <<'END'
# Written by scripts/prometheus-rule.sh from deploy/prometheus/alerts.yaml; change that file.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: mailfleet
  labels:
    app.kubernetes.io/name: mailfleet
spec:
END
    sed -n '/^groups:/,$p' deploy/prometheus/alerts.yaml | sed 's/^\(..*\)$/  \1/'
} >deploy/kubernetes/components/monitoring/prometheus-rule.yaml

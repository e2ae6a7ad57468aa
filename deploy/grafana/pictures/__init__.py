"""Pictures of the dashboards, drawn by Grafana's own front-end libraries over what a real Prometheus has seen."""

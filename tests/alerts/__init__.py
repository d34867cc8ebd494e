"""Every alert under its fault, on a real Prometheus and Alertmanager: `./just alerts`."""

"""Alerts: what an operator wants to be told of without looking, as log lines and as signed webhooks."""

from gateway.alerts.alert import Alert, AlertType
from gateway.alerts.config import AlertsConfig, WebhookConfig, alerts_findings
from gateway.alerts.sending import open_alerts
from gateway.alerts.watch import Watch

__all__ = ["Alert", "AlertType", "AlertsConfig", "Watch", "WebhookConfig", "alerts_findings", "open_alerts"]

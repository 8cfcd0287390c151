"""Grafana's dashboards as code: ``python -m dashboards`` writes ``compose/grafana/dashboards`` and ``docs/metrics.md``.

Change a module here, never the JSON. Tests compare what is committed with what is generated, look every metric up in the services'
code, parse every query, and ask a real Prometheus for the data of every panel.
"""

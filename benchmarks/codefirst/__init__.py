"""The code-first workload: 100 invoices in this process, each with a batched customer."""

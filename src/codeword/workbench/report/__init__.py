"""A run as one page of HTML that needs nothing else: no network, no other file, no script."""

from codeword.workbench.report.page import write_report

__all__ = ["write_report"]

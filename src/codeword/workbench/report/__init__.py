"""A run as one page of HTML that needs nothing else: no network, no other file, no script."""

from codeword.workbench.report.ids_page import write_ids_page
from codeword.workbench.report.page import write_report

__all__ = ["write_ids_page", "write_report"]

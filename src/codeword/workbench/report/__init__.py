"""A run as one self-contained HTML page: no network, no other file, no script."""

from codeword.workbench.report.ids_page import write_ids_page
from codeword.workbench.report.page import write_report

__all__ = ["write_ids_page", "write_report"]

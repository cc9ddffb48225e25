"""The dashboard: HTML pages at ``/`` and ``/ui``.

routes     the pages and their URLs
views      template data of the pages
pages      templates, assets and formats
datasets   datasets and HRIR sets that the launch form offers

All pages are rendered on the server from the objects that the API returns. Buttons and forms call the API.
"""

from .routes import create_router

__all__ = ["create_router"]

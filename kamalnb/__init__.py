"""kamalnb: deploy containers to your own servers over SSH and Docker with no lost request.

Importing this package is light: Fabric, pandas and ipywidgets are loaded when they are first needed.
"""

from __future__ import annotations

__version__ = "0.1.0"

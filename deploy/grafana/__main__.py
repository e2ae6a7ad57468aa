"""`python -m deploy.grafana`: writes dashboards/*.json."""

from __future__ import annotations

from deploy.grafana.boards import BOARDS, FOLDER, rendered

if __name__ == "__main__":
    for board in BOARDS:
        (FOLDER / f"{board.name}.json").write_text(rendered(board))

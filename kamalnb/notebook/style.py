"""How everything looks: one style sheet over the colours of JupyterLab and VS Code, light and dark."""

from __future__ import annotations

from .markup import Html, constant, tag

CSS = """
.kn{--ink:var(--jp-content-font-color1,var(--vscode-foreground,currentColor));
--soft:var(--jp-content-font-color2,var(--vscode-descriptionForeground,currentColor));
--line:var(--jp-border-color2,var(--vscode-panel-border,currentColor));
--back:var(--jp-layout-color1,var(--vscode-editor-background,transparent));
--bed:var(--jp-layout-color2,var(--vscode-textBlockQuote-background,transparent));
--good:var(--jp-success-color1,var(--vscode-charts-green,currentColor));
--bad:var(--jp-error-color1,var(--vscode-charts-red,currentColor));
--mind:var(--jp-warn-color1,var(--vscode-charts-yellow,currentColor));
--busy:var(--jp-brand-color1,var(--vscode-charts-blue,currentColor));
color:var(--ink);font-family:var(--jp-ui-font-family,var(--vscode-font-family,system-ui,sans-serif));
font-size:var(--jp-ui-font-size1,13px);line-height:1.5;max-width:74rem}
.kn p{margin:.35em 0}
.kn .kn-top{display:flex;gap:.4em 1.2em;align-items:baseline;flex-wrap:wrap;margin:.2em 0 .5em}
.kn .kn-title{font-weight:600;font-size:1.12em}
.kn .kn-soft{color:var(--soft)}
.kn .kn-card{border:1px solid var(--line);border-radius:6px;padding:.65em .9em;margin:.25em 0;background:var(--back)}
.kn-stage{border:1px solid var(--jp-border-color2,var(--vscode-panel-border,currentColor));border-radius:6px;
padding:.4em .9em .6em;margin:.5em 0}
.kn-stage:empty{display:none}.kn-stage .kn-card{border:0;padding:0;margin:0;background:none}
.kn-part{margin-top:.5em}
.kn .kn-wide{overflow-x:auto;max-width:100%}
.kn .kn-table table,.kn table.kn-t{border-collapse:collapse;border:0;margin:.2em 0;font-size:inherit;width:auto;
table-layout:auto;font-variant-numeric:tabular-nums}
.kn table.kn-t caption{caption-side:top;text-align:left;color:var(--soft);padding:0 0 .35em;font-size:.95em}
.kn table.kn-t th,.kn table.kn-t td{text-align:left;padding:.28em .9em .28em .35em;border:0;
border-bottom:1px solid var(--line);vertical-align:top;max-width:34em;white-space:nowrap;background:none;
color:var(--ink)}
.kn table.kn-t td.kn-long{white-space:normal;overflow-wrap:anywhere;min-width:14em}
.kn table.kn-t thead th{color:var(--soft);font-weight:500;border-bottom:1px solid var(--soft)}
.kn table.kn-t tbody th{font-weight:600}
.kn table.kn-t td.kn-n,.kn table.kn-t th.kn-n{text-align:right}
.kn table.kn-t tbody tr{background:none}
.kn table.kn-t tbody tr:hover{background:var(--bed)}
.kn table.kn-t tr.kn-dim td,.kn table.kn-t tr.kn-dim th{color:var(--soft);font-weight:400}
.kn .kn-good{color:var(--good)}.kn .kn-bad{color:var(--bad)}.kn .kn-mind{color:var(--mind)}
.kn .kn-busy{color:var(--busy)}.kn .kn-off{color:var(--soft)}
.kn .kn-mark{display:inline-block;width:1.2em;font-weight:700}
.kn .kn-say{margin:.45em 0 .1em;padding:.3em .7em;border-left:3px solid var(--line)}
.kn .kn-say.kn-is-bad{border-color:var(--bad)}.kn .kn-say.kn-is-good{border-color:var(--good)}
.kn .kn-say.kn-is-mind{border-color:var(--mind)}
.kn pre.kn-log{margin:.3em 0;padding:.5em .7em;max-height:16em;overflow:auto;background:var(--bed);color:var(--ink);
border-radius:4px;white-space:pre-wrap;overflow-wrap:anywhere;
font:12px/1.45 var(--jp-code-font-family,var(--vscode-editor-font-family,monospace))}
.kn code{font-family:var(--jp-code-font-family,var(--vscode-editor-font-family,monospace));background:var(--bed);
color:var(--ink);padding:.05em .35em;border-radius:3px}
.kn details>summary{cursor:pointer;color:var(--soft);padding:.15em 0}
.kn details>summary:focus-visible,.kn button:focus-visible,.kn input:focus-visible{outline:2px solid var(--busy);
outline-offset:1px}
.kn progress{width:100%;height:.55em;border:0;border-radius:4px;overflow:hidden;background:var(--bed);
accent-color:var(--busy);appearance:none}
.kn progress::-webkit-progress-bar{background:var(--bed)}
.kn progress::-webkit-progress-value{background:var(--busy);transition:width .2s}
.kn progress.kn-is-good::-webkit-progress-value{background:var(--good)}
.kn progress.kn-is-bad::-webkit-progress-value{background:var(--bad)}
.kn progress::-moz-progress-bar{background:var(--busy)}
.kn .kn-steps{display:inline-flex;gap:2px;vertical-align:middle;margin-right:.6em}
.kn .kn-steps i{width:9px;height:9px;border-radius:2px;background:var(--line);opacity:.65}
.kn .kn-steps i.kn-past{background:var(--good);opacity:1}.kn .kn-steps i.kn-here{background:var(--busy);opacity:1}
.kn .kn-steps i.kn-lost{background:var(--bad);opacity:1}
.kn .kn-live td.kn-long{white-space:nowrap;overflow:hidden;text-overflow:ellipsis;max-width:26em}
.kn .kn-tools{display:flex;gap:.6em;align-items:center;margin:.2em 0 .4em;flex-wrap:wrap}
.kn .kn-legend{display:flex;flex-wrap:wrap;gap:.2em 1.3em}.kn .kn-key{white-space:nowrap}
.kn .kn-tools input{font:inherit;color:var(--ink);background:var(--back);border:1px solid var(--line);
border-radius:4px;padding:.2em .5em;width:20em}
.kn .kn-tools label{display:flex;gap:.5em;align-items:center;color:var(--soft)}
.kn th button{all:unset;cursor:pointer;white-space:nowrap}
.kn th button:focus-visible{outline:2px solid var(--busy);outline-offset:2px}
.kn th[aria-sort=ascending] button::after{content:" ▲"/""}.kn th[aria-sort=descending] button::after{content:" ▼"/""}
.kn mark{background:none;color:inherit;border-bottom:2px solid var(--mind);font-weight:600}
.kn ul{margin:.3em 0;padding-left:1.4em}
.kn .kn-hidden{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
.kn svg{max-width:100%;height:auto;display:block}
.kn svg text{fill:var(--ink);font-family:inherit}
@media (prefers-reduced-motion:reduce){.kn progress::-webkit-progress-value{transition:none}}
"""


def styled(*inside: object) -> Html:
    """A whole output with its style sheet: what a saved notebook holds."""
    return tag("div", tag("style", constant(CSS.strip())), *inside, class_="kn")

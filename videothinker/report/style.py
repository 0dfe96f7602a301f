"""How the reports look: one page and style sheet, for wide screens and phones, light and dark."""

from html import escape

CSS = """
:root {
  color-scheme: light dark;
  --paper: #fcfbf9; --card: #ffffff; --ink: #1d2127; --muted: #666d78; --rule: #e3e1dc;
  --s0: #9aa1ab; --s1: #d0862e; --s2: #1f6f8f; --s3: #7d5ba6; --s4: #4c8c4a; --s5: #b5485d;
  --p0: #c9c4b8; --p1: #1f6f8f; --p2: #d0862e; --p3: #7d5ba6; --p4: #4c8c4a;
  --good: #2f7d4f; --good-wash: #edf6f0; --bad: #b23b48; --bad-wash: #fbeff0;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14161a; --card: #1b1e24; --ink: #e6e7ea; --muted: #9aa2ae; --rule: #2e333c;
    --s0: #7f8894; --s1: #e0a04f; --s2: #58a9c9; --s3: #a98ad0; --s4: #78b877; --s5: #dc7b8c;
    --p0: #565c66; --p1: #58a9c9; --p2: #e0a04f; --p3: #a98ad0; --p4: #78b877;
    --good: #6fc08f; --good-wash: #1b2a22; --bad: #e57f8a; --bad-wash: #2d1d20;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 40px 28px 72px; max-width: 1040px; background: var(--paper);
  color: var(--ink); font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif;
  overflow-wrap: break-word;
}
h1 { margin: 6px 0 12px; font-size: 33px; line-height: 1.22; font-weight: 640;
  letter-spacing: -0.015em; text-wrap: balance; }
h2 { margin: 60px 0 4px; padding-top: 20px; border-top: 1px solid var(--rule); font-size: 21px;
  letter-spacing: -0.01em; }
p { margin: 6px 0; max-width: 70ch; }
.lead { margin: 12px 0 16px; max-width: 76ch; font-size: 17px; }
.lead + .note { max-width: 92ch; }
.alert { margin: 14px 0; padding: 10px 14px; max-width: none; border-left: 3px solid var(--bad);
  border-radius: 3px 8px 8px 3px; background: var(--bad-wash); overflow-wrap: anywhere; }
.kicker { color: var(--muted); font-size: 13.5px; }
.note { color: var(--muted); font-size: 14.5px; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 20px; margin: 14px 0 4px; font-size: 14px; }
.chip { display: inline-flex; align-items: center; gap: 7px; min-width: 0;
  overflow-wrap: anywhere; }
.chip i { flex: none; width: 11px; height: 11px; border-radius: 3px; background: var(--c); }
svg { display: block; width: 100%; height: auto; }
svg text { font: 11px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; fill: var(--muted);
  font-variant-numeric: tabular-nums; }
svg text.group { font-size: 13px; fill: var(--ink); }
svg text.value { font-size: 12.5px; font-weight: 600; fill: var(--ink); }
svg .grid { stroke: var(--rule); stroke-width: 1; }
svg .whisker { stroke: var(--ink); stroke-width: 1.4; fill: none; opacity: 0.7; }
svg text.row { font-size: 12.5px; fill: var(--ink); }
svg .chance { stroke: var(--s1); stroke-width: 2.5; fill: none; }
svg .line { fill: none; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
svg .raw { stroke-width: 1; opacity: 0.32; }
.narrow { display: none; }
.narrow svg text { font-size: 12px; }
table { width: 100%; margin-top: 14px; border-collapse: collapse; font-size: 14.5px;
  font-variant-numeric: tabular-nums; }
th, td { padding: 7px 8px; border-bottom: 1px solid var(--rule); text-align: right;
  vertical-align: top; }
th { color: var(--muted); font-weight: 500; font-size: 13px; }
th:first-child, td:first-child { padding-left: 0; text-align: left; }
td small { display: block; color: var(--muted); font-size: 12px; white-space: nowrap; }
.scores td:first-child { overflow-wrap: anywhere; }
.scroll { overflow-x: auto; }
.charts { display: grid; gap: 30px 34px; margin-top: 18px;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 300px), 1fr)); }
figure { margin: 0; }
figcaption { min-height: 50px; font-size: 15px; font-weight: 600; }
figcaption span { display: block; font-size: 13px; font-weight: 400; color: var(--muted); }
.latest { display: flex; flex-wrap: wrap; gap: 2px 16px; margin: 2px 0 0; font-size: 13px;
  color: var(--muted); font-variant-numeric: tabular-nums; }
.phases { margin: 14px 0 0; padding: 0; list-style: none; font-size: 15px; }
.phases .note { display: block; margin-bottom: 8px; }
.sign { --c: var(--ink); }
.sign.lost { --c: var(--bad); }
.sign.joined { --c: var(--good); }
.sign.left { --c: var(--muted); }
svg .sign { fill: var(--c); }
svg .border { stroke: var(--muted); stroke-dasharray: 3 3; fill: none; }
span.sign::before { content: "\\25BC"; margin-right: 6px; color: var(--c); font-size: 12px; }
.list td, .list th { text-align: left; }
.list td { overflow-wrap: anywhere; }
.losses td:nth-child(2), .losses th { white-space: nowrap; }
details { margin-top: 20px; }
summary { cursor: pointer; color: var(--muted); font-size: 14.5px; }
pre { margin: 12px 0 0; padding: 14px 16px; border: 1px solid var(--rule); border-radius: 8px;
  background: var(--card); font: 12.5px/1.5 ui-monospace, "SF Mono", Menlo, monospace;
  white-space: pre-wrap; overflow-wrap: anywhere; }
.group-card { margin: 22px 0; padding: 18px 20px 20px; border: 1px solid var(--rule);
  border-radius: 12px; background: var(--card); }
.frames { display: grid; gap: 4px; margin: 12px 0 14px;
  grid-template-columns: repeat(auto-fit, minmax(104px, 1fr)); }
.frames img { display: block; width: 100%; max-width: 220px; border-radius: 4px; }
.question { font-weight: 600; }
ol.options { margin: 6px 0 14px; padding: 0; list-style: none; font-size: 15px; }
ol.options .right { color: var(--good); font-weight: 600; }
.completions { display: grid; gap: 10px;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 420px), 1fr)); }
.completion { padding: 9px 12px 10px; border-left: 3px solid var(--rule); border-radius: 3px 8px
  8px 3px; background: var(--paper); font-size: 14px; }
.completion.good { border-color: var(--good); background: var(--good-wash); }
.completion.bad { border-color: var(--bad); background: var(--bad-wash); }
.completion header { display: flex; flex-wrap: wrap; gap: 0 14px; margin-bottom: 4px;
  color: var(--muted); font-size: 12.5px; font-variant-numeric: tabular-nums; }
.completion header b { color: var(--ink); }
.completion.good header b { color: var(--good); }
.completion.bad header b { color: var(--bad); }
.completion p { margin: 0; max-width: none; white-space: pre-wrap; overflow-wrap: anywhere; }
.answers { grid-template-columns: repeat(auto-fit, minmax(min(100%, 215px), 1fr)); }
.answers header { align-items: baseline; justify-content: space-between; }
.answers .chip { color: var(--ink); font-size: 14px; font-weight: 600; }
.completion .said { margin-top: 6px; font-weight: 600; }
.outcomes { width: auto; min-width: min(100%, 560px); }
.outcomes th, .outcomes td { padding-inline: 10px; text-align: center; }
.outcomes th { min-width: 58px; overflow-wrap: anywhere; vertical-align: bottom; }
.outcomes thead th:last-child { min-width: 0; overflow-wrap: normal; }
.outcomes th:first-child, .outcomes td:first-child { padding-left: 0; text-align: left;
  white-space: nowrap; }
.outcomes th.kind { padding-top: 18px; color: var(--ink); font-size: 14px; font-weight: 600;
  white-space: normal; }
.outcomes .yes { color: var(--good); font-weight: 600; }
.outcomes .no { color: var(--bad); }
.lineage td { overflow-wrap: anywhere; }
.lineage td:last-child { text-align: left; }
.lineage td:first-child { width: 28%; }
code { font: 12.5px ui-monospace, "SF Mono", Menlo, monospace; overflow-wrap: anywhere; }
@media (max-width: 640px) {
  body { padding: 22px 16px 48px; font-size: 15.5px; }
  h1 { font-size: 25px; }
  h2 { margin-top: 42px; }
  .wide { display: none; }
  .narrow { display: block; }
  table { font-size: 13px; }
  th, td { padding: 6px 3px; }
  th { font-size: 11.5px; }
  .results th:nth-child(5), .results td:nth-child(5) { display: none; }
  .scores td:nth-child(3) small { display: none; }
  td small { font-size: 11px; }
  .outcomes th + th, .outcomes td + td { padding-inline: 4px; }
  .outcomes th { min-width: 44px; }
  figcaption { min-height: 0; }
  .group-card { margin-inline: -6px; padding: 14px 12px; }
}
@media print { body { max-width: none; } details:not([open]) { display: none; } }
"""


def page(title: str, body: str) -> str:
    """A whole document around a body; the title is escaped here, the body by who wrote it."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)} - VideoThinker</title><style>{CSS}</style></head>"
        f"<body>{body}</body></html>\n"
    )

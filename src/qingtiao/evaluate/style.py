"""The style sheet of the report page: system fonts, light and dark, phone and paper."""

CSS = """
:root{--page:#f6f7f9;--card:#fff;--ink:#1c2026;--soft:#545c68;--rule:#dfe3e8;--accent:#1f5fa8;--warm:#b8430b;
--good:#1a7f4b;--even:#7a5b00;--bad:#b3261e;color-scheme:light dark}
@media(prefers-color-scheme:dark){:root{--page:#121519;--card:#1b2026;--ink:#e8eaed;--soft:#aab2bd;--rule:#343b44;
--accent:#7fb2f0;--warm:#f0935c;--good:#5fcf95;--even:#e0bd55;--bad:#ff8d85}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:16px/1.6 system-ui,"PingFang SC","Microsoft YaHei",
"Noto Sans CJK SC","Noto Sans SC",sans-serif;overflow-wrap:anywhere}
main{max-width:1080px;margin:0 auto;padding:20px 16px 48px}
header p{margin:.2em 0;color:var(--soft)}
h1{font-size:1.6rem;line-height:1.3;margin:.2em 0}
h2{font-size:1.12rem;line-height:1.4;margin:0 0 .5em}
.en{color:var(--soft);font-size:.86em;font-weight:400}
section{background:var(--card);border:1px solid var(--rule);border-radius:10px;padding:18px;margin:16px 0}
.pair{display:grid;grid-template-columns:1fr 1fr;gap:16px;margin:16px 0}
.pair section{margin:0;min-width:0}
.pair>section:only-child{grid-column:1/-1}
.first{display:grid;grid-template-columns:minmax(0,5fr) minmax(0,6fr);gap:28px;align-items:center;
border-left:6px solid var(--tone)}
.first>:only-child{grid-column:1/-1}
.adapter_better{--tone:var(--good)}.tie{--tone:var(--even)}.baseline_better{--tone:var(--bad)}
.first h2{color:var(--tone);font-size:1.5rem;margin:0 0 .3em}
.first p{margin:.5em 0}.first p.zh{font-size:1.06rem}
.tiles{display:flex;flex-wrap:wrap;gap:10px 28px;margin:14px 0 0;padding:0}
.tiles div{min-width:84px}.tiles dt{color:var(--soft);font-size:.78rem}
.tiles dd{margin:0;font-size:1.15rem;font-weight:600;font-variant-numeric:tabular-nums}
.note{color:var(--soft);font-size:.88rem;margin:.4em 0}
.box{overflow-x:auto;max-width:100%}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums;font-size:.92rem}
th,td{padding:6px 10px;border-bottom:1px solid var(--rule);text-align:left;vertical-align:top}
th{font-weight:600}thead th{color:var(--soft);font-size:.84rem;line-height:1.35;vertical-align:bottom}
.num{text-align:right;white-space:nowrap}
.ci{display:block;color:var(--soft);font-size:.82em}
.best{font-weight:700}
tbody th{font-weight:500;min-width:5em;max-width:16em}
td.text{min-width:15em}
.word{min-width:5em;max-width:12em}
.tag{display:inline-block;border:1px solid var(--warm);color:var(--warm);border-radius:4px;padding:0 5px;
font-size:.78rem;white-space:nowrap}
mark{background:none;color:inherit;border-bottom:2px solid var(--accent);padding-bottom:1px}
mark small{color:var(--accent);font-size:.74em;margin:0 .2em}
.meter{display:block;height:5px;border-radius:3px;background:var(--rule);min-width:60px;margin-top:4px}
.meter i{display:block;height:100%;border-radius:3px;background:var(--accent)}
details{margin:.5em 0}summary{cursor:pointer;font-weight:600}
pre{white-space:pre-wrap;font-size:.82rem;background:var(--page);padding:10px;border-radius:6px;max-height:28em;
overflow:auto}
svg{display:block;width:100%;max-width:540px;height:auto;margin:0 auto}
svg.fixed{max-width:none;margin:0 auto}
svg text{font-size:12px;fill:var(--ink)}svg .small{font-size:11px;fill:var(--soft)}
svg .tiny{font-size:10px;fill:var(--ink)}svg .strong{font-weight:600}svg .faint{fill:var(--soft)}
svg .middle{text-anchor:middle}svg .end{text-anchor:end}
svg .grid{stroke:var(--rule);stroke-width:1}svg .ideal{stroke:var(--soft);stroke-dasharray:4 4}
svg .whisker{stroke:var(--ink);stroke-width:1.4;opacity:.75}
svg .whisker.clean{stroke:var(--accent);stroke-width:2.4;opacity:1}svg .whisker.all{stroke:var(--soft);opacity:1}
svg .dot{fill:var(--accent)}svg .dot.all{fill:var(--card);stroke:var(--soft);stroke-width:1.6}
svg .bar{fill:var(--accent);fill-opacity:.55}svg .right{fill:var(--accent)}svg .wrong{fill:var(--warm)}
svg .empty{fill:none;stroke:var(--rule)}
svg .line{fill:none;stroke-width:2}svg .line0{stroke:var(--accent)}
svg .line1{stroke:var(--warm);stroke-dasharray:6 3}svg .mark0{fill:var(--accent)}svg .mark1{fill:var(--warm)}
@media(max-width:760px){.pair,.first{grid-template-columns:minmax(0,1fr)}.first{gap:16px}
main{padding:12px 10px 32px}section{padding:14px 12px}.first h2{font-size:1.3rem}th,td{padding:6px 7px}}
@media print{:root{--page:#fff;--card:#fff;--ink:#000;--soft:#444;--rule:#bbb;--accent:#1f5fa8;--warm:#b8430b}
body{font-size:11pt}main{max-width:none;padding:0}section{break-inside:avoid;border-color:#bbb}
section.long{break-inside:auto}tr{break-inside:avoid}.box{overflow:visible}pre{max-height:none}}
"""

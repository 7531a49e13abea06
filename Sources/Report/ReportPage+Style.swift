// How the page looks: light and dark by the reader's choice, one column on narrow screens, black on white on paper.

extension ReportPage {
  static let style = """
    :root { color-scheme: light dark; --ink: #1c2024; --soft: #5b6470; --line: #d9dee4; --ground: #f6f7f9; --card: #fff; --blue: #0b62c4; --orange: #b54708; --pale: #0b62c466; --mark: #2ea04326; --good: #1a7f37; --bad: #b42318; }
    @media (prefers-color-scheme: dark) { :root { --ink: #e8eaed; --soft: #a3adb8; --line: #363c44; --ground: #14171a; --card: #1c2024; --blue: #6cb2ff; --orange: #ffa657; --pale: #6cb2ff55; --mark: #2ea04340; --good: #57d177; --bad: #ff8a80; } }
    * { box-sizing: border-box; }
    body { background: var(--ground); color: var(--ink); font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; margin: 0 auto; max-width: 76rem; padding: 1.5rem 1rem 3rem; }
    h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .25rem; overflow-wrap: anywhere; }
    h2 { font-size: 1.2rem; margin: 2.25rem 0 .75rem; }
    h3 { font-size: 1rem; margin: 0; overflow-wrap: anywhere; }
    h4 { color: var(--soft); font-size: .8rem; font-weight: 600; margin: 0 0 .25rem; }
    p { margin: 0 0 .75rem; max-width: 62rem; }
    a { color: var(--blue); }
    code { font-family: ui-monospace, "DejaVu Sans Mono", monospace; font-size: .9em; }
    .status { color: var(--soft); margin: 0; }
    .status strong { border: 1px solid currentColor; border-radius: 1rem; display: inline-block; font-size: .85rem; margin-right: .35rem; padding: 0 .6rem; }
    .finished strong { color: var(--good); } .failed strong { color: var(--bad); } .interrupted strong { color: var(--orange); } .running strong { color: var(--blue); }
    .note { border-left: 3px solid var(--orange); margin: .75rem 0 0; overflow-wrap: anywhere; padding: .1rem .75rem; }
    .failed + .note { border-color: var(--bad); }
    .notices { color: var(--soft); font-size: .9rem; margin: .75rem 0 0; padding-left: 1.2rem; }
    .tiles { display: grid; gap: .75rem; grid-template-columns: repeat(auto-fit, minmax(8.2rem, 1fr)); margin: 1.25rem 0 0; }
    .tiles div, .chart, .sample { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: .75rem 1rem; }
    dt { color: var(--soft); font-size: .8rem; } dd { font-size: 1.25rem; font-variant-numeric: tabular-nums; font-weight: 600; margin: 0; overflow-wrap: anywhere; }
    .charts { display: grid; gap: .75rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 27rem), 1fr)); }
    .chart { margin: 0; min-width: 0; }
    figcaption { align-items: baseline; display: flex; flex-wrap: wrap; gap: .1rem .6rem; min-height: 1.9rem; }
    .unit, .legend { color: var(--soft); font-size: .8rem; }
    .legend { display: flex; flex-wrap: wrap; gap: .2rem 1rem; margin: .25rem 0 0; }
    .plot { position: relative; }
    .plot svg { display: block; height: auto; touch-action: pan-y; width: 100%; }
    .plot svg:focus-visible { outline: 2px solid var(--blue); outline-offset: 2px; }
    .key { height: .5rem; margin-right: .35rem; vertical-align: middle; width: 1.5rem; }
    .grid line { stroke: var(--line); } .grid text { fill: var(--soft); font-size: 12px; font-variant-numeric: tabular-nums; } .grid .y { text-anchor: end; } .grid .x { text-anchor: middle; }
    .curve { fill: none; stroke: var(--blue); stroke-linejoin: round; stroke-width: 2; }
    .curve.raw { stroke: var(--pale); stroke-width: 1.5; } .curve.marks { stroke: var(--orange); stroke-dasharray: 5 3; }
    circle.curve, circle.curve.marks { fill: var(--card); stroke-dasharray: none; stroke-width: 2; }
    .cursor { stroke: var(--soft); stroke-dasharray: 2 3; } .zoom { fill: var(--blue); opacity: .15; }
    .tools { display: flex; gap: .4rem; margin-left: auto; }
    button { background: none; border: 1px solid var(--line); border-radius: 6px; color: var(--soft); cursor: pointer; font: inherit; font-size: .75rem; padding: .1rem .5rem; }
    button[aria-pressed=true] { border-color: var(--blue); color: var(--blue); } button:hover { color: var(--ink); } button[hidden] { display: none; }
    .tip { background: var(--card); border: 1px solid var(--line); border-radius: 6px; box-shadow: 0 2px 8px #0003; font-size: .8rem; font-variant-numeric: tabular-nums; left: 0; padding: .3rem .5rem; pointer-events: none; position: absolute; top: 0; white-space: pre; z-index: 1; }
    .tip[hidden] { display: none; }
    .sample { margin-bottom: .75rem; }
    .pair { display: grid; gap: .5rem 1.5rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 18rem), 1fr)); margin-top: .5rem; }
    .answer p { margin: 0 0 .5rem; overflow-wrap: anywhere; white-space: pre-wrap; }
    summary { color: var(--soft); cursor: pointer; }
    .scroll { overflow-x: auto; }
    table { border-collapse: collapse; font-size: .9rem; width: 100%; }
    caption { color: var(--soft); font-size: .8rem; padding: .25rem 0; text-align: left; }
    th, td { border-bottom: 1px solid var(--line); padding: .35rem .75rem .35rem 0; text-align: left; vertical-align: top; }
    tbody th { font-weight: 500; } thead th { color: var(--soft); font-size: .8rem; font-weight: 600; }
    .facts th { width: 16rem; } .facts td { overflow-wrap: anywhere; white-space: pre-wrap; }
    .rows tbody th { overflow-wrap: anywhere; min-width: 8rem; } .text { min-width: 14rem; overflow-wrap: anywhere; }
    .number { font-variant-numeric: tabular-nums; position: relative; white-space: nowrap; }
    .bar { background: var(--blue); bottom: 0; height: 2px; left: 0; position: absolute; }
    .context { color: var(--soft); }
    mark { background: var(--mark); border-radius: 3px; color: inherit; }
    .nothing, footer { color: var(--soft); } footer { border-top: 1px solid var(--line); font-size: .8rem; margin-top: 2.5rem; padding-top: .75rem; }
    @media (max-width: 36rem) { .facts, .facts tbody, .facts tr, .facts th, .facts td { display: block; width: auto; } .facts th { border: 0; padding-bottom: 0; color: var(--soft); } }
    @media print { :root { color-scheme: light; --ink: #000; --soft: #444; --line: #bbb; --ground: #fff; --card: #fff; --blue: #0b62c4; --orange: #b54708; --pale: #0b62c455; --mark: #2ea04326; --good: #1a7f37; --bad: #b42318; } body { font-size: 11pt; max-width: none; padding: 0; } .charts { grid-template-columns: 1fr 1fr; } .chart, .sample, tr { break-inside: avoid; } .tools, .tip { display: none; } h2 { break-after: avoid; } }
    """
}

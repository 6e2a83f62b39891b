"""Names that would do harm where they are shown as they are."""

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "bill\u202egpj.exe",
    "red \x1b[31m text",
    "a\u0000b\u0007",
    "half \ud800 a pair",
    "[bold]rich[/bold] &lt;b&gt;",
)

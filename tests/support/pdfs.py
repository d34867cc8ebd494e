"""PDF files written by hand, independent of the library that reads them."""

from __future__ import annotations


def pdf_with(text: str) -> bytes:
    """Return a PDF of one page with one line."""
    return pdf_of_stream(f"BT /F1 12 Tf 20 100 Td ({text}) Tj ET".encode())


def pdf_of_stream(stream: bytes, entries: bytes = b"") -> bytes:
    """Return a PDF of one page with this content stream; `entries` are added to the stream's dictionary."""
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 200]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>",
        b"<<%s/Length %d>>stream\n%s\nendstream" % (entries, len(stream), stream),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    written, starts = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, start=1):
        starts.append(len(written))
        written += b"%d 0 obj%s endobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % start for start in starts)
    trailer = b"trailer<</Size 6/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % len(written)
    return written + b"xref\n0 6\n0000000000 65535 f \n" + table + trailer

"""RIDs as ERMrest writes them: Crockford's base 32 in groups of four, such as ``1-0007``."""

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's base 32 (https://www.crockford.com/base32.html): no I, L, O or U, so nothing reads as two things."""

FIRST = 32**4
"""The number of the first minted RID, chosen so that RIDs look like ERMrest's (``1-0000``)."""


def encode(number: int) -> str:
    """The RID of the ``number``-th record: digits from the right in groups of four, joined by hyphens."""
    digits = ""
    while True:
        number, digit = divmod(number, 32)
        digits = ALPHABET[digit] + digits
        if not number:
            break
    head = len(digits) % 4 or 4
    return "-".join([digits[:head], *(digits[i : i + 4] for i in range(head, len(digits), 4))])

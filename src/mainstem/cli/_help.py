"""Help texts: prose that flows, examples that stay as they are."""


def explained(*paragraphs: str, examples: str) -> str:
    """One help text. Parameters: `paragraphs`, wrapped as they stand in the source; `examples`, one command a line."""
    prose = [" ".join(paragraph.split()) for paragraph in paragraphs]
    commands = "\n".join(f"  {line.strip()}" for line in examples.strip().splitlines())
    return "\n\n".join([*prose, f"\b\nExamples:\n{commands}"])

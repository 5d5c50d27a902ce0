"""Pages that run: their blocks share a namespace, their output follows, what fails names the page, the block and the line."""

import importlib.util
import re
from types import ModuleType

import pytest

from house._source import ROOT

PAGE = """# A page

```python run
x = 2
print("x is", x)
```

Twice {{ x }} is {{ f"{2 * x}" }}.

```python
never_run()  # {{ x }}
```

```python run
x + 1
```
"""
SHOWN = """# A page

```python
x = 2
print("x is", x)
```

```text
x is 2
```


Twice 2 is 4.

```python
never_run()  # {{ x }}
```

```python
x + 1
```

```text
3
```

"""


@pytest.fixture(scope="module")
def run() -> ModuleType:
    pytest.importorskip("mkdocs")
    spec = importlib.util.spec_from_file_location("docs_run", ROOT / "docs" / "run.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_blocks_are_run_in_one_namespace_and_other_fences_are_left_alone(run: ModuleType):
    assert run.rendered(PAGE, "page.md") == SHOWN


def test_a_page_without_such_blocks_stays_as_it_is(run: ModuleType):
    plain = "```python\n1 / 0\n```\n{{ 1 / 0 }}\n"
    assert run.on_page_markdown(plain, page=None) is plain


def test_a_picture_is_drawn_and_does_not_end_at_a_blank_line(run: ModuleType):
    block = '```python run\nclass P:\n    def _repr_svg_(self):\n        return "<svg>\\n\\n  <path/>\\n</svg>"\n\nprint(1)\nP()\n```\n'
    assert "```text\n1\n```\n\n<figure><svg> <path/> </svg></figure>\n" in run.rendered(block, "page.md")


def test_a_block_without_output_has_none(run: ModuleType):
    assert run.rendered("```python run\nx = 1\nNone\n```\n", "page.md") == "```python\nx = 1\nNone\n```\n\n"


@pytest.mark.parametrize(
    ("was", "now", "says"),
    [
        ("x + 1\n", "assert x == 3\n", "page.md, block 2, line 15: assert x == 3\nAssertionError: "),
        ("x + 1\n", "y = 1\nnone\n", "page.md, block 2, line 16: none\nNameError: name 'none' is not defined"),
        ("x + 1\n", "float('nan')\n", "page.md, block 2, line 15: float('nan')\nValueError: it shows nan"),
        ("x = 2\n", "x = (\n", "page.md, block 1, line 4: x = (\nSyntaxError: "),
        ("{{ x }} is", "{{ z }} is", "page.md, a sentence, line 8: Twice {{ z }} is"),
        (
            "x = 2\n",
            "def x():\n    raise ValueError('no')\n\n\nx()\n",
            "page.md, block 1, line 5: raise ValueError('no')\nValueError: no",
        ),
    ],
)
def test_what_fails_stops_the_build_and_says_where(run: ModuleType, was: str, now: str, says: str):
    from mkdocs.exceptions import BuildError

    with pytest.raises(BuildError) as caught:
        run.rendered(PAGE.replace(was, now), "page.md")
    assert says in str(caught.value)


def test_errors_of_what_a_page_calls_are_told_at_the_page(run: ModuleType):
    from mkdocs.exceptions import BuildError

    with pytest.raises(BuildError, match=re.escape("page.md, block 1, line 3: json.loads('')\nJSONDecodeError")):
        run.rendered("```python run\nimport json; json.loads('')\n```\n".replace("; ", "\n"), "page.md")


def running_pages() -> list[str]:
    """Pages with blocks that are run."""
    return sorted(p.name for p in (ROOT / "docs").glob("*.md") if "```python run\n" in p.read_text(encoding="utf-8"))


def test_there_are_pages_that_run():
    assert "inside.md" in running_pages()


@pytest.mark.parametrize("name", running_pages())
def test_the_code_of_a_page_is_no_wider_than_the_page(name: str, run: ModuleType):
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    code = [line for found in run.PIECE.finditer(text) for line in (found["code"] or "").splitlines()]
    assert not [line for line in code if len(line) > 84]

"""The reST reader of the quality benchmark."""

from __future__ import annotations

from benchmarks.searching.rest_sections import sections

PAGE = """
:tocdepth: 2

==========
Lamps FAQ
==========

.. only:: html

   .. contents::

General
=======

.. _burn:

How long does a lamp burn?
--------------------------

Use :func:`~lamps.burn` or ``lamps.glow``; see :term:`lamp <lamps>` and `the site
<http://example.com>`_. An *old* one::

   lamps.burn(9)

.. note::

   Not **under** water.

.. function:: burn(hours, *args, **kwargs)
              glow(hours)

   Burns.

.. class:: Lamp(name)

   A lamp.

   .. method:: out()

      It goes out.

   .. versionadded:: 3.1
"""


def test_headings_become_a_path() -> None:
    found = sections("faq/lamps", PAGE)
    assert [section.path for section in found] == [("Lamps FAQ", "General", "How long does a lamp burn?")]
    assert found[0].id == "faq/lamps/3"


def test_text_is_what_a_reader_sees() -> None:
    text = sections("faq/lamps", PAGE)[0].text
    assert "Use burn or lamps.glow; see lamp and the site. An old one:" in " ".join(text.split())
    assert "   lamps.burn(9)" in text
    assert "Note:" in text
    assert "under water" in text
    assert "New in version 3.1:" in text
    for markup in ("..", ":func:", "``", "contents", "_burn", "example.com"):
        assert markup not in text


def test_descriptions_are_noted_with_their_class_and_line() -> None:
    section = sections("faq/lamps", PAGE)[0]
    assert [(one.kind, one.name, one.line) for one in section.descriptions] == [
        ("function", "burn", "burn(hours, *args, **kwargs)"),
        ("function", "glow", "glow(hours)"),
        ("class", "Lamp", "Lamp(name)"),
        ("method", "Lamp.out", "out()"),
    ]
    assert all(one.line in section.text for one in section.descriptions)

"""Languages that the search by words knows."""

from __future__ import annotations

# What the vector engine has a stemmer for; its stop words go with it.
STEMMED = frozenset(
    [
        "arabic",
        "danish",
        "dutch",
        "english",
        "finnish",
        "french",
        "german",
        "greek",
        "hungarian",
        "italian",
        "norwegian",
        "portuguese",
        "romanian",
        "russian",
        "spanish",
        "swedish",
        "turkish",
    ]
)
# What has none there.
OTHERS = frozenset(
    [
        "albanian",
        "armenian",
        "azerbaijani",
        "basque",
        "belarusian",
        "bengali",
        "bosnian",
        "bulgarian",
        "catalan",
        "chinese",
        "croatian",
        "czech",
        "esperanto",
        "estonian",
        "galician",
        "georgian",
        "hebrew",
        "hindi",
        "hinglish",
        "icelandic",
        "indonesian",
        "irish",
        "japanese",
        "kazakh",
        "khmer",
        "korean",
        "lao",
        "latvian",
        "lithuanian",
        "macedonian",
        "malay",
        "mongolian",
        "nepali",
        "persian",
        "polish",
        "serbian",
        "slovak",
        "slovene",
        "swahili",
        "tajik",
        "tamil",
        "thai",
        "ukrainian",
        "urdu",
        "uzbek",
        "vietnamese",
    ]
)
AUTO, NONE = "auto", "none"
LANGUAGES = (AUTO, NONE, *sorted(STEMMED | OTHERS))


def check_language(name: str) -> str:
    """The name; raises ValueError for one that is not known."""
    if name not in LANGUAGES:
        raise ValueError(f"expected one of {', '.join(LANGUAGES)}, got {name!r}")
    return name

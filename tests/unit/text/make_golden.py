#!/usr/bin/env python3
"""Writes tokenizer_golden.json: what Hugging Face's tokenizer makes of many texts.

Needs the Python package `tokenizers`. Run it by hand after adding a text here, and commit the result.

usage: make_golden.py [MODEL_DIR]      default: tests/models/opt-demo-7m (vocab.json and merges.txt)
"""

import json
import pathlib
import random
import sys

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

HERE = pathlib.Path(__file__).resolve().parent

TEXTS = [
    "",
    " ",
    "  ",
    "\n",
    "\t",
    "a",
    "Hello, world!",
    " Hello, world! ",
    "The quick brown fox jumps over the lazy dog.",
    "   three spaces before, and after   ",
    "a  b   c    d     e",
    "line one\nline two\r\nline three\rline four\n\n\n  indented\n\ttabbed\n",
    "trailing newline\n",
    "trailing spaces then newline   \n",
    "\n \n  \n   x",
    " \t \n\t \t",
    "tab\tseparated\tvalues\t\t\tend",
    # Contractions, also where they are none.
    "I'm you're he's she'll we've they'd don't can't it's 's 't 're 've 'm 'll 'd",
    "I'M YOU'RE IT'S DON'T",
    "I\u2019m you\u2019re don\u2019t \u2018quoted\u2019",
    "rock'n'roll o'clock ''s '''t 'sometimes 'remember 'dare",
    "'", "''", "' s", "x'", "'llama 'verse 'mouse",
    # Numbers.
    "0 1 12 123 1234 12345 3.14159 1,000,000 1e-10 0x1F -7 +8 50% $9.99 1st 2nd",
    "mixed123letters456and7numbers v2.0b3 A1B2",
    "\u00b2\u00b3\u00b9 \u00bd\u00bc \u2160\u2161\u2162 \u0661\u0662\u0663 \u0967\u0968\u0969 \u4e00\u4e8c\u4e09 \uff11\uff12",
    "\u2460\u2461 \U0001d7ce\U0001d7cf x\u00b2+y\u00b2",
    # Punctuation and symbols.
    "!!! ??? ... --- *** ((())) [[]] {{}} <<>> ;;; ::: \"\" `` ~~ @@ ## $$ %% ^^ && || \\\\ //",
    "email@example.com https://example.com/path?query=1&x=y#frag C:\\dir\\file.txt",
    "\u2014\u2013\u2026\u201cquotes\u201d\u00ab\u00bb\u2022\u00b7\u00a7\u00b6\u2020\u2030\u20ac\u00a3\u00a5\u00a9\u00ae\u2122",
    "\u2200x\u2208\u211d: \u2211\u222b\u221a\u221e\u2260\u2264 \u2192\u2190\u21d2 \u03b1\u03b2\u03b3",
    # Code.
    "def f(x):\n    if x > 0:\n        return x ** 2  # square\n    return None\n",
    "for (int i = 0; i < n; ++i) {\n\t\tsum += a[i];\n}\n#include <vector>\n",
    "SELECT * FROM t WHERE a='b' AND c IS NOT NULL; -- comment",
    "{\"key\": [1, 2.5, null, true], \"nested\": {\"a\": \"\\n\"}}",
    "snake_case camelCase PascalCase SCREAMING_CASE kebab-case __dunder__ $var @decorator",
    "<html><body class=\"x\">&nbsp;&amp;</body></html>",
    # Scripts.
    "Fran\u00e7ais: \u00e0 \u00e2 \u00e7 \u00e9 \u00e8 \u00ea \u00ef \u00f4 \u0153 \u00f9; Deutsch: \u00e4\u00f6\u00fc\u00df \u00c4\u00d6\u00dc \u1e9e",
    "Espa\u00f1ol \u00bfqu\u00e9? \u00a1s\u00ed! Portugu\u00eas \u00e3\u00f5 Polski \u0105\u0107\u0119\u0142\u0144\u00f3\u015b\u017a\u017c \u010ce\u0161tina \u0159\u017e",
    "T\u00fcrk\u00e7e \u0131\u0130\u011f\u015f Ti\u1ebfng Vi\u1ec7t \u0111\u01b0\u1ee3c \u00cdslenska \u00fe\u00f0\u00e6",
    "\u0420\u0443\u0441\u0441\u043a\u0438\u0439 \u044f\u0437\u044b\u043a, \u0423\u043a\u0440\u0430\u0457\u043d\u0441\u044c\u043a\u0430 \u0457\u0454\u0491",
    "\u0395\u03bb\u03bb\u03b7\u03bd\u03b9\u03ba\u03ac: \u03b1\u03cd\u03c1\u03b9\u03bf; \u03c2\u03c3",
    "\u4e2d\u6587\u6c49\u5b57\uff0c\u3002\uff01 \u65e5\u672c\u8a9e\u306e\u3072\u3089\u304c\u306a\u3068\u30ab\u30bf\u30ab\u30ca\u30fc \uc548\ub155\ud558\uc138\uc694 \ud55c\uad6d\uc5b4",
    "\u3000full\u3000width\u3000spaces \uff21\uff22\uff23 \uff41\uff42\uff43",
    "\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd \u05d5\u05b0\u05d0\u05b8\u05d4\u05b7\u05d1\u05b0\u05ea\u05b8\u05bc",
    "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645\u060c \u0627\u0644\u0633\u0651\u0644\u0627\u0645\u064f \u0639\u0644\u064a\u0643\u0645 \u06f1\u06f2\u06f3",
    "\u200fRTL mark\u200e \u202bembedded\u202c \u2067isolated\u2069",
    "\u0939\u093f\u0928\u094d\u0926\u0940 \u0915\u094d\u0937\u0924\u094d\u0930\u093f\u092f \u09ac\u09be\u0982\u09b2\u09be \u0ba4\u0bae\u0bbf\u0bb4\u0bcd \u0c24\u0c46\u0c32\u0c41\u0c17\u0c41",
    "\u0e20\u0e32\u0e29\u0e32\u0e44\u0e17\u0e22\u0e44\u0e21\u0e48\u0e21\u0e35\u0e0a\u0e48\u0e2d\u0e07\u0e27\u0e48\u0e32\u0e07 \u0e9e\u0eb2\u0eaa\u0eb2\u0ea5\u0eb2\u0ea7 \u1019\u103c\u1014\u103a\u1019\u102c \u1781\u17d2\u1798\u17c2\u179a",
    "\u10e5\u10d0\u10e0\u10d7\u10e3\u10da\u10d8 \u0540\u0561\u0575\u0565\u0580\u0565\u0576 \u12a0\u121b\u122d\u129b \u13e3\u13b3\u13a9 \u1403\u14c4\u1483\u144e\u1450\u1466 \u0f56\u0f7c\u0f51\u0f0b\u0f61\u0f72\u0f42",
    "\u180e\u1820\u182f\u180e\u1820 a\u180eb",
    "\U00012000\U00012001 \U00010330\U00010331 \U00020000\U0002a6d6 \U00030000 \U00031350 \U000323af",
    # Emoji, with joiners, skin tones, flags, key caps.
    "\U0001f600\U0001f601 \U0001f44d\U0001f3fd \U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 \U0001f1e9\U0001f1ea\U0001f1eb\U0001f1f7 1\ufe0f\u20e3 \u2764\ufe0f\u200d\U0001f525",
    "text\U0001f680text \U0001f680\U0001f680\U0001f680 \u263a \u263a\ufe0f \u2665",
    # Combining marks, alone and stacked; composed and decomposed.
    "e\u0301 \u00e9 n\u0303 \u00f1 a\u030a\u0323 Z\u0351\u036b\u0343\u036a\u0302\u036b\u033d\u034f\u0334\u0319\u0324\u031e\u0349\u035a\u032f\u031e\u0320\u034da\u036b\u0357",
    "\u0301\u0302 \u0301",
    # Spaces and invisible characters of every kind.
    "a\u00a0b\u2003c\u2009d\u200ae\u202ff\u205fg\u3000h\u1680i\u2028j\u2029k\u0085l",
    " \u00a0 \u2003 x\u00a0\u00a0y \u00a0",
    "zero\u200bwidth\u200cnon\u200djoiner\ufeffbom\u2060word",
    "soft\u00adhyphen",
    "\x00\x01\x02\x07\x08\x0b\x0c\x0e\x1b[31mred\x1b[0m\x1f\x7f\x80\x9f",
    "\x1c\x1d\x1e\x1f a\x1cb",
    "\ufdd0\uffff\U0010ffff\ue000\U000f0000",
    "\ufffd\ufffd \ufffd",
    # Long words and runs.
    "a" * 1000,
    "ab" * 600,
    "the" * 400,
    "Donaudampfschifffahrtselektrizit\u00e4tenhauptbetriebswerkbauunterbeamtengesellschaft" * 4,
    "\u4e00" * 200,
    "1" * 500,
    "!" * 300,
    " " * 300,
    " " * 300 + "x",
    "\n" * 100,
    "\n " * 50 + "x",
    "\U0001f600" * 60,
    "antidisestablishmentarianism pneumonoultramicroscopicsilicovolcanoconiosis",
    # Special tokens, whole and broken.
    "</s>", "a</s>b", "a </s> b", "  </s>  ", "</s></s>", "<s>x<pad>y<unk>z</s>", "<s", "</s", "< /s>", "<</s>>", "<mask>",
    "</S> <S> <PAD> < s >", "x<s>'s</s> 's",
]

# Where random texts take their characters from: (first, last).
ALPHABETS = [
    (0x20, 0x7E), (0x20, 0x7E), (0x61, 0x7A), (0x61, 0x7A), (0x30, 0x39), (0x09, 0x0D), (0x00, 0x1F), (0x20, 0x20),
    (0x20, 0x20), (0x80, 0xFF), (0x100, 0x24F), (0x2B0, 0x36F), (0x370, 0x52F), (0x590, 0x6FF), (0x900, 0xD7F),
    (0xE00, 0xEFF), (0x1680, 0x180F), (0x1E00, 0x1FFF), (0x2000, 0x206F), (0x2070, 0x2BFF), (0x3000, 0x30FF),
    (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0xE000, 0xE0FF), (0xFE00, 0xFFFF), (0x10000, 0x1F9FF), (0x1F300, 0x1F6FF),
    (0x20000, 0x323AF),
]


def random_text(generator):
    """A text of short runs from random alphabets."""
    characters = []
    for _ in range(generator.randrange(1, 12)):
        first, last = generator.choice(ALPHABETS)
        characters += [generator.randint(first, last) for _ in range(generator.randrange(1, 8))]
    return "".join(map(chr, characters))


def load_tokenizer(folder):
    """The tokenizer that tokenizer.json of an OPT describes."""
    tokenizer = Tokenizer(models.BPE.from_file(str(folder / "vocab.json"), str(folder / "merges.txt")))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(name, normalized=False) for name in ("<s>", "<pad>", "</s>", "<unk>")])
    return tokenizer


def character_classes():
    """Runs [first code point, class] of the pattern's classes: L letter, N number, S space, O other."""
    splitter = pre_tokenizers.ByteLevel(add_prefix_space=False)

    def class_of(character):
        for name, companion in (("L", "x"), ("N", "1"), ("O", ".")):
            if len(splitter.pre_tokenize_str(companion + character)) == 1:
                return name
        return "S"

    runs = []
    for code_point in range(0x110000):
        if not 0xD800 <= code_point < 0xE000:
            name = class_of(chr(code_point))
            if not runs or runs[-1][1] != name:
                runs.append([code_point, name])
    return runs


def main():
    """Writes the file beside this script."""
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else HERE.parents[1] / "models" / "opt-demo-7m"
    tokenizer = load_tokenizer(folder)
    generator = random.Random(1)
    texts = TEXTS + [random_text(generator) for _ in range(400)]
    cases = [{"text": text, "ids": tokenizer.encode(text).ids} for text in texts]
    for case in cases:
        assert tokenizer.decode(case["ids"], skip_special_tokens=False) == case["text"], case["text"]
    lines = ",\n".join(json.dumps(case) for case in cases)
    classes = json.dumps(character_classes(), separators=(",", ":"))
    text = f'{{"cases": [\n{lines}\n],\n"classes": {classes}}}\n'
    (HERE / "tokenizer_golden.json").write_text(text, encoding="ascii")


if __name__ == "__main__":
    main()

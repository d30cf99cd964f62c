"""The tagger of lists and rules, against sentences that were tagged by hand."""

import json

import pytest

from densevl.tasks.annotation.noun_phrases import noun_phrases
from densevl.tasks.annotation.rule_tagger import rule_tags

TAGGED = """
A/DT man/NN rides/VBZ a/DT brown/JJ horse/NN ./.
Two/CD dogs/NNS play/VBP with/IN a/DT red/JJ ball/NN in/IN the/DT park/NN
The/DT cat/NN is/VBZ sitting/VBG on/IN a/DT wooden/JJ chair/NN near/IN the/DT window/NN
a/DT parked/JJ car/NN and/CC a/DT bus/NN stop/NN
people/NNS walk/VBP down/RB a/DT crowded/JJ street/NN
A/DT living/NN room/NN with/IN a/DT stuffed/JJ animal/NN
The/DT building/NN has/VBZ a/DT large/JJ clock/NN
She/PRP wants/VBZ to/TO ride/VB her/PRP$ bike/NN
the/DT boy/NN 's/POS striped/JJ shirt/NN
The/DT train/NN that/WDT passes/VBZ is/VBZ very/RB old/JJ
An/DT orange/NN lies/VBZ beside/IN an/DT orange/JJ cup/NN
The/DT butterfly/NN slowly/RB leaves/VBZ the/DT bed/NN
A/DT view/NN of/IN Paris/NNP
3/CD young/JJ children/NNS look/VBP at/IN the/DT ocean/NN waves/NNS
"""


@pytest.mark.parametrize("sentence", TAGGED.strip().splitlines())
def test_tags_are_those_of_a_person(sentence):
    expected = [tuple(word.rsplit("/", 1)) for word in sentence.split()]
    text = " ".join(word for word, _ in expected).replace(" 's", "'s")
    assert rule_tags(text) == expected


def test_captions_of_people_give_what_they_name(shared):
    """How often the names of COCO's annotated things that a caption spells out are the last word of a phrase."""
    folder = shared / "data" / "coco" / "annotations"
    captions = json.loads((folder / "captions_val2017.json").read_text())
    captions = captions["annotations"] if isinstance(captions, dict) else captions
    instances = json.loads((folder / "instances_val2017.json").read_text())
    names = {category["name"] for category in instances["categories"] if " " not in category["name"]}
    named = found = 0
    for record in captions:
        spelled = [word for word, _ in rule_tags(record["caption"].lower()) if word in names]
        words = {word for phrase in noun_phrases(record["caption"], rule_tags) for word in phrase.split()}
        named += len(spelled)
        found += sum(word in words for word in spelled)
    assert named > 200
    assert found / named > 0.97

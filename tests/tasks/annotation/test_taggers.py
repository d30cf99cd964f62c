"""Taggers by name, over models that are trained in the test."""

import pytest

from densevl.core.errors import UsageError
from densevl.tasks.annotation.noun_phrases import noun_phrases
from densevl.tasks.annotation.rule_tagger import rule_tags
from densevl.tasks.annotation.taggers import load_tagger

SENTENCES = ["a red dog sits on the grass", "two cats and a small tree", "the big car stops near a white house"] * 3


def test_an_unknown_tagger_is_named():
    assert load_tagger("rule") is rule_tags
    with pytest.raises(UsageError, match="did you mean rule"):
        load_tagger("rules")


def test_nltk_tags():
    nltk = pytest.importorskip("nltk")
    from densevl.tasks.annotation.taggers import NltkTagger

    model = nltk.PerceptronTagger(load=False)
    model.train([rule_tags(sentence) for sentence in SENTENCES])
    tagger = NltkTagger(model)
    assert noun_phrases(SENTENCES[0], tagger) == ("red dog", "grass")


def test_nltk_without_its_data_says_what_to_fetch(monkeypatch):
    nltk = pytest.importorskip("nltk")
    monkeypatch.setattr(nltk.data, "path", [])
    with pytest.raises(UsageError, match=r"nltk\.downloader averaged_perceptron_tagger_eng"):
        load_tagger("nltk")


def test_spacy_tags():
    spacy = pytest.importorskip("spacy")
    from spacy.tokens import Doc
    from spacy.training import Example

    from densevl.tasks.annotation.taggers import SpacyTagger

    pipeline = spacy.blank("en")
    pipeline.add_pipe("tagger")
    examples = []
    for sentence in SENTENCES:
        words, tags = zip(*rule_tags(sentence), strict=True)
        reference = Doc(pipeline.vocab, words=list(words), tags=list(tags))
        examples.append(Example(Doc(pipeline.vocab, words=list(words)), reference))
    optimizer = pipeline.initialize(lambda: examples)
    for _ in range(30):
        pipeline.update(examples, sgd=optimizer)
    assert noun_phrases(SENTENCES[0], SpacyTagger(pipeline)) == ("red dog", "grass")
    with pytest.raises(UsageError, match="tags no English"):
        SpacyTagger(spacy.blank("de"))
    with pytest.raises(UsageError, match=r"no_such_pipeline.*pip install"):
        load_tagger("spacy:no_such_pipeline")


def test_an_installed_pipeline_of_spacy_tags_captions():
    pytest.importorskip("spacy")
    from densevl.tasks.spacy_pipeline import installed_pipeline

    try:
        name = installed_pipeline()
    except UsageError as error:
        pytest.skip(str(error))
    assert name.startswith("en_")
    tagger = load_tagger("spacy")
    assert tagger.pipeline.meta["name"] in name
    caption = "a brown dog is running towards two old men near the fountain"
    assert noun_phrases(caption, tagger) == ("brown dog", "old men", "fountain")
    assert dict(tagger(caption))["running"] == "VBG"

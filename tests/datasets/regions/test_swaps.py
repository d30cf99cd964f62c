"""New words of hard negatives, and whether they belong to something else in the image."""

from densevl.datasets.regions.swaps import borrowed, new_words

KNIFE = "A knife with a grey metal blade and black plastic handle."


def test_new_words_are_those_in_the_place_of_others():
    assert new_words(KNIFE, "A knife with a light brown metal blade and black leather handle.") == {"brown", "leather"}
    assert new_words(KNIFE, KNIFE) == frozenset()
    assert new_words("A red cup", "A red cup with a blue rim") == {"blue", "rim"}


def test_a_word_of_another_part_is_borrowed():
    assert borrowed(KNIFE, "A knife with a black metal blade and black plastic handle.", [])
    assert not borrowed(KNIFE, "A knife with a pink metal blade and black plastic handle.", [])


def test_a_word_of_another_thing_is_borrowed():
    pink = "A knife with a pink metal blade and black plastic handle."
    assert borrowed(KNIFE, pink, ["A pink woven basket"])
    assert not borrowed(KNIFE, pink, ["A brown woven basket in light green"])
    assert not borrowed(KNIFE, "A knife with a light grey metal blade and black plastic handle.", ["A light wall"])

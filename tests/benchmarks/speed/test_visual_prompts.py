from densevl.benchmarks.speed.visual_prompts import USUAL, benchmark_visual_prompts


def test_every_procedure_is_measured():
    usual = benchmark_visual_prompts(count=1, size=(24, 32), short_side=16, repetitions=1)
    assert [name for name, _ in usual.rows] == [" + ".join(names) for names in USUAL]
    chosen = benchmark_visual_prompts(["crop", "circle"], count=3, size=(48, 64), short_side=32, repetitions=1)
    assert [name for name, _ in chosen.rows] == ["crop + circle"]
    for _, (published, same, faster, own, own_faster) in (*usual.rows, *chosen.rows):
        assert min(published, same, own) > 0
        assert (faster, own_faster) == (published / same, published / own)

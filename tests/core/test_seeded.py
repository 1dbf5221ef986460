import torch

from vauban.core.rng import seeded


def test_draws_follow_from_the_words_and_the_global_generator_is_untouched():
    before = torch.get_rng_state()
    with seeded(7, "a"):
        first = torch.rand(5)
    with seeded(7, "a"):
        again = torch.rand(5)
    with seeded(7, "b"):
        other = torch.rand(5)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)


def test_nested_seeds_resume_where_they_were_and_errors_restore():
    with seeded(1):
        whole = torch.rand(4)
    with seeded(1):
        start = torch.rand(2)
        try:
            with seeded(2):
                torch.rand(3)
                raise KeyError
        except KeyError:
            pass
        rest = torch.rand(2)
    assert torch.equal(whole, torch.cat([start, rest]))

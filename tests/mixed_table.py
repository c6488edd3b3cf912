"""A small table of five kinds of columns, some of which follow from others."""

import numpy as np
import pandas as pd
from scipy import special


def mixed_table(rng, n=600):
    first = rng.standard_normal(n)
    return pd.DataFrame(
        {
            "real": first,
            "skewed": np.exp(first + 0.1 * rng.standard_normal(n)),
            "flag": rng.random(n) < special.expit(2 * first),
            "kind": pd.Categorical(rng.choice(list("abc"), n, p=[0.6, 0.3, 0.1])),
            "grade": pd.Categorical(
                rng.choice(list("xyz"), n), categories=list("xyz"), ordered=True
            ),
        }
    )

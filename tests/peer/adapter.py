"""bkgflow in the clothes of the peer's step, as thin as can be.

The peer's tests call ``BackgroundStep.call(input, backgrounds, **arguments)``. What the
step's framework does around the computation, saving results under a suffix, is done here.
"""

from pathlib import Path

import bkgflow
from bkgflow.io.products.describe import product_name


class BackgroundStep:
    @staticmethod
    def call(
        target,
        input_bkg_list=None,
        bkg_list=None,
        save_results=False,
        output_dir=".",
        suffix="bsub",
        **arguments,
    ):
        backgrounds = input_bkg_list if input_bkg_list is not None else bkg_list
        result = bkgflow.subtract(target, backgrounds, output_dir=output_dir, **arguments)
        if save_results:
            name = product_name(result.meta.filename, suffix)
            result.save(str(Path(output_dir) / name))
        return result

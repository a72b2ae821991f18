"""The images that networks are trained on: where they lie, and whether they can be read at all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field, field_validator, model_validator

from hilab.errors import DataFileError
from protocols._calibration import CalibrationParams

if TYPE_CHECKING:
    from hilab.learning.idx import Mnist


class ImageParams(CalibrationParams):
    """A calibration, and the images for a network after it; they are read before anything is started."""

    data: str = Field(
        "", description="folder with the four IDX files of MNIST (.gz or not); hilab's own when empty"
    )
    images: int = Field(10_000, ge=1, le=60_000, description="images trained on, in software or on devices")
    test_images: int = Field(10_000, ge=1, le=10_000, description="images tested on")

    @field_validator("data")
    @classmethod
    def _absolute(cls, folder: str) -> str:
        """A run that is resumed elsewhere finds the same files."""
        return str(Path(folder).expanduser().resolve()) if folder else ""

    @model_validator(mode="after")
    def _readable(self) -> ImageParams:
        try:
            self.load()
        except DataFileError as error:
            raise ValueError(str(error)) from error
        return self

    def load(self) -> Mnist:
        """The images; DataFileError if a file is missing, damaged or of another kind."""
        from hilab.learning.idx import load_mnist

        return load_mnist(self.data or None, train_images=self.images, test_images=self.test_images)

"""Types of arrays that hold samples."""

import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]

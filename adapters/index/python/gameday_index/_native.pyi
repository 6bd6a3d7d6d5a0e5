from typing import Callable, Optional, final

import numpy as np
import numpy.typing as npt

@final
class Built:
    @property
    def recall(self) -> Optional[float]: ...
    @property
    def note(self) -> Optional[str]: ...
    def write(self, faiss: bool, write: Callable[[bytes], object]) -> None: ...

def build(
    vectors: npt.NDArray[np.float32],
    ids: npt.NDArray[np.uint64],
    kind: str,
    metric: str,
    m: int,
    ef_construction: int,
    ef: int,
    nlist: int,
    nprobe: int,
    seed: int,
    progress: Optional[Callable[[float], object]],
) -> Built: ...

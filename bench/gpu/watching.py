"""What arrays hold of CuPy's pool, at most: counted as they come and go."""

from cupy.cuda import MemoryHook


class Peak(MemoryHook):
    """with Peak() as peak: ... peak.most: bytes that were asked for and not yet given back, at most."""

    name = "minigpt peak"

    def __init__(self):
        self.live, self.most, self._sizes = 0, 0, {}

    def malloc_postprocess(self, device_id, size, mem_size, mem_ptr, pmem_id):
        """An array has got its memory: size bytes, at an address that no other has now."""
        if mem_ptr:
            self._sizes[mem_ptr] = size
            self.live += size
            self.most = max(self.most, self.live)

    def free_postprocess(self, device_id, mem_size, mem_ptr, pmem_id):
        """It has given it back."""
        self.live -= self._sizes.pop(mem_ptr, 0)

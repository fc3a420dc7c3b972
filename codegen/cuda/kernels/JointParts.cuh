// Joint kernels: the work of several launches, none of which waits for another, by blocks side by side.
#ifndef DEJAVU_CODEGEN_CUDA_KERNELS_JOINTPARTS_CUH_
#define DEJAVU_CODEGEN_CUDA_KERNELS_JOINTPARTS_CUH_

#include "Common.cuh"

namespace dejavu {

/// Which blocks do which part. All parts but the last have a fixed number of blocks; the last has the rest. Where no
/// block would be left for it, every block does a share of every part.
class JointParts {
 public:
  /// `fixed`: the blocks of all parts but the last.
  __device__ explicit JointParts(int fixed) : crowded_(Blocks() <= fixed) {}

  /// The grid of the next part, which has `blocks` blocks; 0: the rest. The block has work in it if HasWork(grid).
  __device__ Grid Next(int blocks) {
    if (crowded_) {
      __syncthreads();  // the part before may still read shared memory
      return Grid();
    }
    const Grid grid = {Block() - begin_, blocks > 0 ? blocks : Blocks() - begin_};
    begin_ += blocks;
    return grid;
  }

  __device__ static bool HasWork(const Grid& grid) { return grid.block >= 0 && grid.block < grid.blocks; }

 private:
  bool crowded_;
  int begin_ = 0;
};

}  // namespace dejavu

#endif  // DEJAVU_CODEGEN_CUDA_KERNELS_JOINTPARTS_CUH_

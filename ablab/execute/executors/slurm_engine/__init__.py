"""The SLURM engine: runs are trained in the jobs of arrays, which submitit submits.

`job` is what each job does and `notes` what it says of it, `array` the jobs that were submitted
together. `executor` has runs submitted by `submission`, and `live_arrays` tells what came of them.
`queue` asks SLURM about jobs, `listing` tells users about them, and `timing` times arms in one.
"""

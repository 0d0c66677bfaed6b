"""The SLURM engine: runs are trained in the jobs of arrays, which submitit submits.

`job` is what each job does, `array` the jobs that were submitted together, `executor` submits
arrays and reads what came of them, `queue` asks SLURM about jobs, and `listing` tells users about
them.
"""

"""What each verb of the command line does: one module per verb, so that a job depends on no more
source files than shape its result.
"""

"""tmp"""


def margin_of(config, mean):
    return 0.005 * abs(mean)

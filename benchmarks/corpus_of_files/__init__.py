"""A folder of real files of every format, some of them broken, built in one go."""

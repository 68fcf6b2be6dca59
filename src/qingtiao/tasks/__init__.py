"""One task, one file. `qingtiao.task` finds them by listing this folder."""

"""Asking models: the base model and what a run has tuned, in a process of their own."""

from ftlab.answers.asked import BATCH as BATCH
from ftlab.answers.asked import Comparison as Comparison
from ftlab.answers.asked import answers as answers
from ftlab.answers.asked import ask as ask
from ftlab.answers.asked import client_of as client_of
from ftlab.answers.of_run import device_of as device_of
from ftlab.answers.of_run import is_chat as is_chat
from ftlab.answers.of_run import model_of as model_of
from ftlab.answers.of_run import prompt_of as prompt_of
from ftlab.answers.of_run import tuned_folder as tuned_folder
from ftlab.answers.process import BASE as BASE
from ftlab.answers.process import GAVE_WAY as GAVE_WAY
from ftlab.answers.process import Told as Told
from ftlab.answers.process import posted as posted

"""Types of `vauban.attacks`, written by docs/stubs.py from its registries."""

from typing import Any

from vauban.attacks.autoattack import AutoAttack as AutoAttack
from vauban.attacks.blackbox.boundary import BoundaryAttack as BoundaryAttack
from vauban.attacks.blackbox.hopskipjump import HopSkipJump as HopSkipJump
from vauban.attacks.blackbox.local_search import LocalSearch as LocalSearch
from vauban.attacks.blackbox.nes import NES as NES
from vauban.attacks.blackbox.one_pixel import OnePixel as OnePixel
from vauban.attacks.blackbox.rays import RayS as RayS
from vauban.attacks.blackbox.spsa import SPSA as SPSA
from vauban.attacks.blackbox.square import Square as Square
from vauban.attacks.blackbox.zoo import ZOO as ZOO
from vauban.attacks.fixed_budget.apgd import APGD as APGD
from vauban.attacks.fixed_budget.apgd_t import APGDT as APGDT
from vauban.attacks.fixed_budget.bim import BIM as BIM
from vauban.attacks.fixed_budget.cia import CIA as CIA
from vauban.attacks.fixed_budget.fab_t import FABT as FABT
from vauban.attacks.fixed_budget.fgsm import FGSM as FGSM
from vauban.attacks.fixed_budget.illc import ILLC as ILLC
from vauban.attacks.fixed_budget.mi_fgsm import MIFGSM as MIFGSM
from vauban.attacks.fixed_budget.orthogonal_pgd import OrthogonalPGD as OrthogonalPGD
from vauban.attacks.fixed_budget.otcm import OTCM as OTCM
from vauban.attacks.fixed_budget.pgd import PGD as PGD
from vauban.attacks.fixed_budget.r_fgsm import RFGSM as RFGSM
from vauban.attacks.fixed_budget.random_noise import RandomNoise as RandomNoise
from vauban.attacks.fixed_budget.vat import VAT as VAT
from vauban.attacks.foreign import Foreign as Foreign
from vauban.attacks.minimal.bp import BP as BP
from vauban.attacks.minimal.cw_l0 import CWL0 as CWL0
from vauban.attacks.minimal.cw_l2 import CW as CW
from vauban.attacks.minimal.cw_linf import CWLinf as CWLinf
from vauban.attacks.minimal.ddn import DDN as DDN
from vauban.attacks.minimal.deepfool import DeepFool as DeepFool
from vauban.attacks.minimal.ead import EAD as EAD
from vauban.attacks.minimal.fab import FAB as FAB
from vauban.attacks.minimal.fmn import FMN as FMN
from vauban.attacks.minimal.incremental_fgsm import IncrementalFGSM as IncrementalFGSM
from vauban.attacks.minimal.jsma import JSMA as JSMA
from vauban.attacks.minimal.lbfgs import LBFGS as LBFGS
from vauban.attacks.minimal.sapper import Sapper as Sapper
from vauban.attacks.minimal.sigma_zero import SigmaZero as SigmaZero
from vauban.attacks.minimal.vanguard import Vanguard as Vanguard
from vauban.attacks.minimal_eps import minimal_eps as minimal_eps
from vauban.attacks.smooth.bp import SmoothBP as SmoothBP
from vauban.attacks.smooth.ddn import SmoothDDN as SmoothDDN
from vauban.attacks.smooth.pairwise import PairwiseCW as PairwiseCW
from vauban.attacks.smooth.qbim import QBIM as QBIM
from vauban.attacks.smooth.qfgsm import QFGSM as QFGSM
from vauban.attacks.smooth.qpgd2 import QPGD2 as QPGD2
from vauban.attacks.smooth.scw import SCW as SCW
from vauban.attacks.standard import Standard as Standard
from vauban.attacks.standard import standard as standard
from vauban.attacks.universal.shift import UniversalPerturbation as UniversalPerturbation
from vauban.attacks.universal.uap import Universal as Universal
from vauban.core.registry import Registry as Registry
from vauban.engine.combine import Cascade as Cascade
from vauban.engine.combine import Restarts as Restarts
from vauban.words.attack import load as load

fitters: Registry[Any]
registry: Registry[Any]
